/** What `npm run docs` needs of the api. */
export { apiGuide } from './api-guide.js';
export { offlineDocument } from './offline-document.js';
