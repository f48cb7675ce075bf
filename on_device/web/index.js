/** Recommends in the browser with a pushed model. */

export { FIRST_INDEX, latestVersion, Problem, readArtifact } from "./artifact.js";
export { Catalogue, normalized } from "./catalogue.js";
export { diversify } from "./diversity.js";
export { Recommender } from "./recommender.js";
