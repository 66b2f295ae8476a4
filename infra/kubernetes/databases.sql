-- Run once, when the volume of PostgreSQL is empty.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
