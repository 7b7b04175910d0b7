"""How the demo networks were trained: short scripts, plain torch. Nothing here is part of the package."""
