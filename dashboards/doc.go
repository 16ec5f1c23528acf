// Package dashboards makes pages for people out of run directories: Report
// renders one run as a self-contained HTML file, Handler serves every run of a
// store. It reads what package results stores and knows nothing else, so that
// a page can be made again from a directory that came from another machine.
package dashboards
