"""From objectives to a fluence: penalties, the points they are judged on, and the solver."""
