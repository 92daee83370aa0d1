"""What the tests of real applications add to the harness: a browser, a reference server, a site."""
