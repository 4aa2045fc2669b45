"""The open patient as the ESAPI thread sees it: names, units and scales at the border, and what ESAPI cannot keep."""
