"""Homework: what students get, and a grader for what they hand in. ``innerbook grade FOLDER`` runs it.

A thin runner round nbgrader: `release` makes papers out of masters, `repair` puts a student's answers into the master
again, `sandbox` and `inside` execute that where it can reach nothing, `grade` schedules, reads the marks and writes
the tables, `feedback` the pages, and `leaks` searches files for what no student may see.
"""
