"""What stands behind the commands of `agent.cli`: what CASE means, planning it, the screen, the doctor."""
