"""Faces in an image: landmark schemes (mark-ups), boxes, and the crop that training and prediction share."""
