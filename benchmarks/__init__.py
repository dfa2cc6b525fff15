"""What sending costs: orders to send, somebody to receive them, a straightforward script to compare with."""
