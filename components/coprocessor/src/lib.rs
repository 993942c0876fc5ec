//! Computing beside the data: the part of a SQL statement that a region can answer by itself.
