"""What runs at the bench: fits and scores against measurements, and the speed of the product."""
