"""Faces in an image: mark-ups, boxes and the one crop that training and prediction share."""
