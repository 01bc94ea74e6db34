"""Make what is published: the lock, the wheel and the sdist, and an attempt to use both."""
