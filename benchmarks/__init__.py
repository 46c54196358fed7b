"""What Copyist is measured by: each script is named after what it measures and prints ratios taken on this machine."""
