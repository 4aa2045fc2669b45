"""What people see of a run: pictures, the HTML report, and the comparison of two runs.

Everything here is made from `agent.run_folder.Run` alone, so a report can be made again from its folder.
"""
