"""One WSGI application: the control socket and, where enabled, TCP; the home of waitress."""
