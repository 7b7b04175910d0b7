"""What a bundle is and does, as an HTML page, and what differs between two bundles."""
