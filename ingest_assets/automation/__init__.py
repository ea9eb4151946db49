"""When to look: jobs, the schedule and the sensors. They say only when; what to do is the stages' business."""
