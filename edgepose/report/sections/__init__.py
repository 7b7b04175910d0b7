"""The parts of the report, each a function from a Report to markup; None where there is nothing to show."""
