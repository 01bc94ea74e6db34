"""Do what the workflows need: list chapters and changed pages, prove that a GPU is used, report what was found."""
