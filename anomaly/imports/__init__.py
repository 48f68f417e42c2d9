"""What other tools judge releases and services by, read as the KPIs of a checklist."""
