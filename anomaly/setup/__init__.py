"""What gets a checklist running: doctor, install, demo, proposal."""
