"""Pictures for people: contact sheets, figures, animations, charts, filters and feature maps."""
