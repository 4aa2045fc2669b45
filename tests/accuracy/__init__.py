"""How exact the engine and its DVHs are, against references made by others: ``make accuracy``, and the tests that gate.

The one idea: each comparison is computed in one place and used twice, drawn on the page and judged by the tests.
`water` and `tg119` compare dose with pyRadPlan's, `closed_forms` DVHs with formulas, `eclipse` DVHs with Eclipse's.
"""
