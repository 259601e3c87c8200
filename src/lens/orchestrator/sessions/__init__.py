"""Sessions: conversations and agents' tasks, whose requests depend on each other.

session says what one is; sources reads them from files and synthetic makes them up; history builds what a turn sends;
planning checks all of it before anything is sent; due and runner keep their times.
"""
