"""Language models: decoders, tokenizers, quantisation, calibration, generation."""
