"""What the tests against a real httpd are made of: processes, logs, a strict client, the server."""
