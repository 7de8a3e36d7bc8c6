"""The argument for training: windows of steps between committed weights, data, rounding."""
