"""The history: releases, looks, findings and messages, kept from one look to the next."""
