"""What people see: pictures of where a model looked, and the demo page."""
