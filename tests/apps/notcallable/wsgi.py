"""An application that cannot be called."""

application = 7
