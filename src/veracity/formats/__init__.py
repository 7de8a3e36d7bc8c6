"""Our own files: `.vprog`, `.vcom`, `.vsec`, `.vproof`."""
