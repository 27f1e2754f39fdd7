"""Traffic control: filters and actions, and the syntax of the `tc` command that sets them up."""
