"""What a careful person writes by hand: scripts that the frameworks are measured against. None of them uses Limbeck."""
