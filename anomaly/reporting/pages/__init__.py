"""Pages for people who look: a release, and the history of releases, each as one HTML file that
makes no network requests."""
