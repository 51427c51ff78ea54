"""What tests of every service need: real servers, a database and a virtual host of their own, waiting without sleeping."""
