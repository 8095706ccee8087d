"""Names of an episode's files: `<session>/<episode>/<name>`."""

ANNOTATION = "annotation.hdf5"
VIDEOS = (
    "fisheye_cam0.mp4", "fisheye_cam1.mp4", "fisheye_cam2.mp4", "fisheye_cam3.mp4", "stereo_left.mp4",
    "stereo_right.mp4",
)  # fmt: skip
TRAINING_FILES = (ANNOTATION, *VIDEOS)
EXCLUDED_FILE = "visualization.rrd"
