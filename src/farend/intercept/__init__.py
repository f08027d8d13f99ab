"""Client libraries answered in process, with no change to the code that uses them."""
