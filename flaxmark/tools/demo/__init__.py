"""Web page that shows the faces of images, of a camera and of videos, served on this machine only."""
