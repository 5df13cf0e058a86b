"""What all blueprints share: HTTP around the views."""
