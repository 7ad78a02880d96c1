"""From a photo file to the crop that the network sees."""
