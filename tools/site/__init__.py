"""Look at the rendered book as a whole: print it, and measure how well its pages serve their readers."""
