//! Stories, generator, checkers and the chaos command.
