"""Pictures for people to look at: contact sheets, figures, drawn filters and feature maps."""
