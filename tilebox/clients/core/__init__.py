"""The documented import path of time intervals, `tilebox.clients.core.data`."""
