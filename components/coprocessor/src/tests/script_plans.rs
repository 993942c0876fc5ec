//! Golden scripts of plans, told as queries over the table of the golden cases.
