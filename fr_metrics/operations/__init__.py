"""What several metrics share: checked images, colours, filters, scales, pooling."""
