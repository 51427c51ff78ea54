"""What every service's tests need: real servers, a database and a virtual host of their own, waiting without sleep."""
