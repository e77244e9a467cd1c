//! What every layer must pass, and layers that misbehave on purpose.
