"""Hold what several metrics share: checked images, colours, filters, scales, pooling."""
