"""Make the pages that come from measured results, and check where the links of the rendered book lead."""
